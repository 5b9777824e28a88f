"""FastAPI returning a constant: what the framework costs before any work is done."""

from fastapi import FastAPI

app = FastAPI()


@app.get("/")
async def hello() -> dict[str, str]:
    return {"message": "Hello World!"}
