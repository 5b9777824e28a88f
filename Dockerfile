# Satchel for production: no build tools, no pip, no embedded PostgreSQL, no root.
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
COPY requirements/ requirements/
# With traces: docker build --build-arg REQUIREMENTS=requirements/tracing.lock .
ARG REQUIREMENTS=requirements/production.lock
RUN python -m venv tools \
    && tools/bin/pip install --no-deps --require-hashes -r requirements/build.lock \
    && python -m venv --without-pip /opt/venv \
    && tools/bin/pip --python /opt/venv install --no-deps --require-hashes -r "$REQUIREMENTS"
COPY . .
RUN tools/bin/hatchling build --target wheel --directory dist \
    && tools/bin/pip --python /opt/venv install --no-deps --no-index dist/*.whl

FROM ${PYTHON_IMAGE}
# The 15 seconds of SHUTDOWN_DELAY and SHUTDOWN_GRACE, and some: docker stop -t 25.
LABEL org.opencontainers.image.title="Satchel" org.opencontainers.image.licenses="MIT" \
    satchel.stop-timeout="25"
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    CONFIG_MODE=production HOST=0.0.0.0 PORT=8000
# By number, so that Kubernetes sees that it is not root.
RUN groupadd --gid 10001 satchel \
    && useradd --uid 10001 --gid satchel --no-create-home --shell /usr/sbin/nologin satchel \
    && rm -rf /usr/local/bin/pip* /usr/local/lib/python3.*/site-packages/pip* /usr/local/lib/python3.*/ensurepip
COPY --from=build /opt/venv /opt/venv
WORKDIR /srv/satchel
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD \
    ["python", "-c", "import http.client, os; c = http.client.HTTPConnection(os.environ['HOST'], int(os.environ['PORT']), timeout=2); c.request('GET', '/livez'); raise SystemExit(c.getresponse().status != 200)"]
# Run `satchel migrate` once per release before the new version starts.
CMD ["satchel", "serve"]
