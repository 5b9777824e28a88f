"""A resource written as the FastAPI tutorial and the SQLAlchemy documentation would."""

from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID

from fastapi import (
    APIRouter,
    BackgroundTasks,
    Cookie,
    Depends,
    Header,
    HTTPException,
    Request,
    Response,
)
from pydantic import BaseModel, ConfigDict
from sqlalchemy import ForeignKey, func, insert, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, selectinload

from app.api.routes import StrictRoute
from app.api.sessions import SessionDep
from app.errors import NotFound


class ToyBase(DeclarativeBase):
    pass


class Box(ToyBase):
    __tablename__ = "toy_boxes"

    id: Mapped[int] = mapped_column(primary_key=True)
    label: Mapped[str]
    toys: Mapped[list["Toy"]] = relationship(back_populates="box")


class Toy(ToyBase):
    __tablename__ = "toys"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    box_id: Mapped[int | None] = mapped_column(ForeignKey("toy_boxes.id"))
    box: Mapped[Box | None] = relationship(back_populates="toys")


BOXES = "CREATE TABLE toy_boxes (id serial PRIMARY KEY, label text NOT NULL)"
TOYS = (
    "CREATE TABLE toys (id serial PRIMARY KEY, name text NOT NULL UNIQUE,"
    " box_id int REFERENCES toy_boxes DEFERRABLE INITIALLY DEFERRED)"
)
TABLES = (BOXES, TOYS)


class ToyIn(BaseModel):
    name: str
    box_id: int | None = None


class ToyOut(ToyIn):
    model_config = ConfigDict(from_attributes=True)

    id: int


class Paging(BaseModel):
    offset: int = 0
    limit: int = 10


seen: list[str] = []  # what dependencies and tasks did, in order


async def get_counter() -> AsyncIterator[list[str]]:
    seen.append("opened")
    try:
        yield seen
    except Exception as error:
        seen.append(f"raised {type(error).__name__}")
        raise
    finally:
        seen.append("closed")


CounterDep = Annotated[list[str], Depends(get_counter)]


def get_shelf() -> str:
    return "top"


class Librarian:
    """A dependency that is a class, with a dependency of its own."""

    def __init__(self, shelf: Annotated[str, Depends(get_shelf)], q: str = "any") -> None:
        self.found = f"{q} on the {shelf} shelf"


async def require_color(x_color: Annotated[str, Header()]) -> None:
    if x_color != "red":
        raise HTTPException(404)


async def get_lucky_number(request: Request) -> int:
    seen.append("lucky")
    return 7


strict = APIRouter(prefix="/strict", route_class=StrictRoute)
plain = APIRouter(prefix="/plain")


def toys_of(router: APIRouter) -> APIRouter:
    """The same routes on a router of ours and on FastAPI's own."""

    @router.post("/toys", status_code=201)
    async def create_toy(toy: ToyIn, session: SessionDep) -> ToyOut:
        row = Toy(**toy.model_dump())
        session.add(row)
        await session.flush()
        return ToyOut.model_validate(row)

    @router.get("/toys")
    async def list_toys(session: SessionDep, paging: Annotated[Paging, Depends()]) -> list[ToyOut]:
        found = await session.scalars(
            select(Toy).order_by(Toy.id).offset(paging.offset).limit(paging.limit)
        )
        return [ToyOut.model_validate(toy) for toy in found]

    @router.get("/toys/{toy_id}")
    async def get_toy(toy_id: int, session: SessionDep) -> ToyOut:
        toy = await session.get(Toy, toy_id)
        if toy is None:
            raise NotFound
        return ToyOut.model_validate(toy)

    @router.put("/toys/{toy_id}")
    async def rename_toy(toy_id: int, toy: ToyIn, session: SessionDep) -> ToyOut:
        row = await session.get_one(Toy, toy_id)
        row.name = toy.name
        await session.flush()
        await session.refresh(row)
        return ToyOut.model_validate(row)

    @router.delete("/toys/{toy_id}", status_code=204)
    async def delete_toy(toy_id: int, session: SessionDep) -> None:
        await session.delete(await session.get_one(Toy, toy_id))

    @router.get("/boxes/{box_id}")
    async def get_box(box_id: int, session: SessionDep) -> dict[str, Any]:
        query = select(Box).where(Box.id == box_id).options(selectinload(Box.toys))
        box = (await session.execute(query)).scalar_one()
        return {"label": box.label, "toys": [toy.name for toy in box.toys]}

    @router.put("/two-writes")
    async def two_writes(session: SessionDep, fail: bool = False) -> int:
        await session.execute(insert(Toy).values(name="first"))
        await session.execute(update(Toy).where(Toy.name == "first").values(name="second"))
        if fail:
            raise NotFound
        return await session.scalar(select(func.count()).select_from(Toy.__table__)) or 0

    @router.put("/fails-at-commit")
    async def fails_at_commit(session: SessionDep) -> str:
        session.add(Toy(name="in no box", box_id=-1))  # a deferred constraint
        await session.flush()
        return "stored"

    @router.put("/savepoint")
    async def savepoint(session: SessionDep) -> str:
        session.add(Toy(name="kept"))
        try:
            async with session.begin_nested():
                session.add(Toy(name="lost"))
                raise ValueError("only this one")
        except ValueError:
            return "ok"

    @router.get("/declares")
    async def declares(
        counter: CounterDep,
        librarian: Annotated[Librarian, Depends()],
        lucky: Annotated[int, Depends(get_lucky_number)],
        tasks: BackgroundTasks,
        user_agent: Annotated[str, Header()],
        crumb: Annotated[str | None, Cookie()] = None,
    ) -> dict[str, Any]:
        tasks.add_task(counter.append, "task")
        counter.append("endpoint")
        return {"found": librarian.found, "agent": user_agent, "crumb": crumb, "lucky": lucky}

    @router.get("/path")
    async def path(request: Request) -> Response:
        return Response(request.url.path)

    @router.put("/echo")
    async def echo(toy: ToyIn, request: Request) -> Response:
        return Response(await request.body())

    @router.get("/raises")
    async def raises(counter: CounterDep) -> None:
        raise NotFound

    @router.get("/red", dependencies=[Depends(require_color)])
    async def red(item_id: UUID | None = None) -> str:
        return "red"

    return router


ROUTERS = (toys_of(strict), toys_of(plain))
