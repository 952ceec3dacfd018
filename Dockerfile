FROM python:3.12-slim AS build
WORKDIR /src
RUN python -m venv /opt/digest
ENV PATH=/opt/digest/bin:$PATH
COPY requirements.lock ./
RUN pip install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE config.example.toml ./
COPY templates templates
COPY digest digest
RUN pip install --no-cache-dir --no-deps .

FROM python:3.12-slim
COPY --from=build /opt/digest /opt/digest
RUN useradd --system --uid 10001 --user-group --no-create-home digest \
    && install -d -o digest -g digest -m 0750 /data
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
