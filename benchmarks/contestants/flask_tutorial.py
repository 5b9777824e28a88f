"""The tutorial's design: Flask-SQLAlchemy models that check themselves, forms in, jsonify out.

What differs from the tutorial: one file; the list is limited to 50; the email's domain is not
looked up in the DNS; Flask-Validator, which asks for Flask-SQLAlchemy 2.4, is written out.
"""

import os
import uuid
from datetime import datetime
from typing import Any

import pycountry
from email_validator import EmailNotValidError, validate_email
from flask import Flask, Response, abort, jsonify, request
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import event, inspect
from sqlalchemy.orm import validates

db = SQLAlchemy()
app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["DATABASE_URL"]
app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {
    "pool_size": int(os.environ["POOL_SIZE"]),
    "max_overflow": 0,
}
db.init_app(app)


class Account(db.Model):
    __tablename__ = "accounts"

    id = db.Column(db.String(50), primary_key=True, nullable=False, unique=True)
    created = db.Column(db.DateTime(timezone=True), default=datetime.now)
    updated = db.Column(db.DateTime(timezone=True), default=datetime.now, onupdate=datetime.now)
    email = db.Column(db.String(100), nullable=False, unique=True)
    username = db.Column(db.String(100), nullable=False)
    dob = db.Column(db.Date)
    country = db.Column(db.String(100))
    phone_number = db.Column(db.String(20))

    @validates("username")
    def empty_string_to_null(self, _key: str, value: str) -> str | None:
        return None if value == "" else value

    def to_dict(self) -> dict[str, Any]:
        return {c.key: getattr(self, c.key) for c in inspect(self).mapper.column_attrs}


@event.listens_for(Account.email, "set", retval=True)
def check_email(_target: Account, value: str, old: str, _initiator: object) -> str:
    if value != old:
        try:
            validate_email(value, check_deliverability=False)
        except EmailNotValidError:
            abort(400, "The email is not valid. Please check it")
    return value


@event.listens_for(Account.country, "set", retval=True)
def check_country(_target: Account, value: str, old: str, _initiator: object) -> str:
    if value != old and pycountry.countries.get(alpha_2=value) is None:
        abort(400, "The country is not valid")
    return value


@app.get("/accounts")
def list_accounts() -> Response:
    accounts = Account.query
    if "country" in request.args:
        accounts = accounts.filter_by(country=request.args["country"])
    if "before" in request.args:
        accounts = accounts.filter(Account.created < request.args["before"])
    limit = request.args.get("limit", 50, type=int)
    page = accounts.order_by(Account.created.desc()).limit(limit).all()
    return jsonify([account.to_dict() for account in page])


@app.post("/accounts")
def create_account() -> Response:
    form = request.form.to_dict()
    account_id = str(uuid.uuid4())
    account = Account(
        id=account_id,
        email=form["email"],
        username=form["username"],
        dob=form["dob"],
        country=form["country"],
        phone_number=form["phone_number"],
    )
    db.session.add(account)
    db.session.commit()
    return jsonify(db.session.get(Account, account_id).to_dict())


@app.get("/accounts/<account_id>")
def retrieve_account(account_id: str) -> Response:
    return jsonify(db.get_or_404(Account, account_id).to_dict())


@app.put("/accounts/<account_id>")
def update_account(account_id: str) -> Response:
    form = request.form.to_dict()
    account = db.get_or_404(Account, account_id)
    account.email = form["email"]
    account.username = form["username"]
    account.dob = form["dob"]
    account.country = form["country"]
    account.phone_number = form["phone_number"]
    db.session.commit()
    return jsonify(db.session.get(Account, account_id).to_dict())
