"""The catalog lists every resource, and each with all that the contract tests need of it."""

import importlib
import pkgutil
from typing import get_args

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

import app as package
from app.resources.lists import PageQuery
from app.resources.resource import Resource
from tests.catalog import CATALOG, Entry, List, every_list, every_resource
from tests.factories import next_number, restart_numbers


def test_it_has_every_router_whose_resources_have_ids(app: FastAPI) -> None:
    routes = [route for route in app.routes if isinstance(route, APIRoute)]
    methods = [(method, route.path) for route in routes for method in route.methods or ()]
    found = {
        path
        for method, path in methods
        if method == "POST" and any(other.startswith(f"{path}/{{") for _, other in methods)
    }
    assert found == {entry.path for entry in CATALOG}
    own = {f"{entry.path}/{{{entry.id_name}}}" for entry in CATALOG}
    assert {("GET", path) for path in own} <= set(methods)


def test_bodies_do_not_depend_on_the_tests_before(request: pytest.FixtureRequest) -> None:
    before = [next_number() for _ in range(1000)]
    restart_numbers("another test")
    others = [next_number() for _ in range(1000)]
    restart_numbers(request.node.nodeid)
    assert [next_number() for _ in range(1000)] == before
    assert not {*before} & {*others}


def test_it_has_every_resource_of_the_application() -> None:
    modules = pkgutil.walk_packages(package.__path__, "app.")
    values = (
        value for one in modules for value in vars(importlib.import_module(one.name)).values()
    )
    found = {value.table.name for value in values if isinstance(value, Resource)}
    assert found == {entry.resource.table.name for entry in CATALOG}


@every_list
def test_the_query_of_a_list_has_its_filters_and_sorts(entry: Entry, each: List) -> None:
    names = each.query.model_fields.keys() - PageQuery.model_fields.keys()
    ignored = {"account_id"} if each.path.startswith("/accounts/") else set()
    assert names == each.listing.filters.keys() - ignored
    sorts = get_args(each.query.model_fields["sort"].annotation)
    assert {*sorts} == {f"{sign}{name}" for name in each.listing.sorts for sign in ("", "-")}


@every_resource
def test_bad_values_are_of_all_fields(entry: Entry) -> None:
    assert entry.bad.keys() == entry.body(1).keys() | entry.parents().keys()
    assert entry.changes.keys() <= entry.bad.keys()
