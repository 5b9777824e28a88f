# Satchel for production: no build tools, no embedded PostgreSQL, no root.
FROM python:3.13-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/venv
COPY requirements/production.lock requirements/tracing.lock requirements/
# With traces: docker build --build-arg REQUIREMENTS=requirements/tracing.lock .
ARG REQUIREMENTS=requirements/production.lock
RUN /opt/venv/bin/pip install --no-deps --require-hashes -r $REQUIREMENTS
# The project itself stays a folder beside its migrations; the environment only points at it.
RUN python - <<'PYTHON'
import pathlib

site = next(pathlib.Path("/opt/venv/lib").glob("python3*/site-packages"))
(site / "satchel.pth").write_text("/srv/satchel\n")
command = pathlib.Path("/opt/venv/bin/satchel")
command.write_text("#!/opt/venv/bin/python\nfrom app.cli import main\n\nif __name__ == '__main__':\n    main()\n")
command.chmod(0o755)
PYTHON

FROM python:3.13-slim
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    CONFIG_MODE=production HOST=0.0.0.0 PORT=8000
RUN useradd --system --uid 10001 --no-create-home satchel
COPY --from=build /opt/venv /opt/venv
WORKDIR /srv/satchel
COPY alembic.ini ./
COPY alembic ./alembic
COPY app ./app
RUN python -m compileall -q app
USER satchel
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD \
    ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/livez', timeout=2)"]
# Run `satchel migrate` once per release before the new version starts.
CMD ["satchel", "serve"]
