# Small, reproducible, without a root user. BASE needs python3 (3.11 or newer) with venv; nothing else is taken from it.
ARG BASE=python:3.13-slim-trixie

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1
WORKDIR /src
COPY requirements.run.lock .
RUN python3 -m venv /venv && /venv/bin/pip install -q --require-hashes --only-binary :all: -r requirements.run.lock
COPY pyproject.toml README.md ./
COPY backend backend
COPY spa_demo spa_demo
# The build tools stay behind, and pip with them.
RUN /venv/bin/pip install -q --no-deps --no-build-isolation . \
    && /venv/bin/pip uninstall -q -y hatchling editables \
    && /venv/bin/pip uninstall -q -y pip setuptools \
    && /venv/bin/python -m compileall -q /venv/lib \
    && find /venv -depth -type d -name tests -exec rm -rf {} +

FROM ${BASE}
RUN install -d -o 10001 -g 10001 -m 700 /data
COPY --from=build /venv /venv
COPY spa_demo /app/spa_demo
ENV PATH=/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    COATCHECK_SPA_DIR=/app/spa_demo COATCHECK_DATA_DIR=/data
WORKDIR /app
USER 10001:10001
EXPOSE 8000
ENTRYPOINT ["coatcheck"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
