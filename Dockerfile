FROM python:3.12-slim-trixie AS build
WORKDIR /src
RUN python -m venv /opt/digest
ENV PATH=/opt/digest/bin:$PATH
COPY requirements.lock ./
RUN pip install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE config.example.toml ./
COPY templates templates
COPY digest digest
RUN pip install --no-cache-dir --no-deps .

FROM python:3.12-slim-trixie
# pg_dump, pg_restore and psql, which backups of a PostgreSQL need; Debian's fixes come with a new base.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends postgresql-client \
    && rm -rf /var/lib/apt/lists/*
# The base has its library as source alone, and our user could not keep what is compiled of it: every
# command and every health check would compile it anew, which is most of what they take.
RUN python -m compileall -q /usr/local/lib/python3.12 \
    && groupadd --gid 10001 digest \
    && useradd --uid 10001 --gid digest --no-create-home --shell /usr/sbin/nologin digest \
    && install -d -o digest -g digest -m 0750 /data
COPY --from=build /opt/digest /opt/digest
# Inside a container the port is the container's own; who reaches it is decided by `docker run -p`.
ENV PATH=/opt/digest/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    DIGEST_WEB__HOST=0.0.0.0 \
    DIGEST_WEB__PORT=8000
USER 10001:10001
# Holds config.toml, and the database in data/.
WORKDIR /data
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=1m --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["digest"]
CMD ["run"]
