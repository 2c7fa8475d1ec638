# The appliance in one image, from Debian's own Python.  Build and start: docker compose up -d
# BASE: any Debian or derivative whose python3 is 3.11 or newer; pin it with a digest where builds must repeat.
ARG BASE=debian:trixie-slim

FROM ${BASE} AS base
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 \
 && rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/dpkg.log
ENV PATH=/opt/bildbrief/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1

FROM base AS build
RUN apt-get update && apt-get install -y --no-install-recommends python3-venv
WORKDIR /source
# A private certificate authority, where there is one: docker build --secret id=ca,src=CERTIFICATES
COPY requirements requirements
RUN --mount=type=secret,id=ca set -eu; \
    if [ -s /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi; \
    python3 -m venv /builder; \
    python3 -m venv --without-pip /opt/bildbrief; \
    /builder/bin/pip install --no-cache-dir --require-hashes -r requirements/build.txt; \
    /builder/bin/pip --python /opt/bildbrief/bin/python install --no-cache-dir --require-hashes --only-binary=:all: -r requirements/run.txt
COPY . .
RUN set -eu; \
    /builder/bin/pip wheel --no-deps --no-build-isolation --no-cache-dir --wheel-dir /wheels .; \
    /builder/bin/pip --python /opt/bildbrief/bin/python install --no-index --no-deps /wheels/*.whl; \
    # A library asks for pip and several bring commands: the appliance has one command and installs nothing.
    /builder/bin/pip --python /opt/bildbrief/bin/python uninstall --yes pip; \
    find /opt/bildbrief/bin -mindepth 1 ! -name 'python*' ! -name bildbrief -delete

FROM base
# One user for each process. The numbers are those of appliance/disk/places.py: volumes carry them.
RUN set -eu; \
    for one in keyholder:801 receiver:802 ingester:803 desk:804 portal:805 clock:806; do \
      groupadd --gid "${one#*:}" "${one%:*}"; \
      useradd --uid "${one#*:}" --gid "${one#*:}" --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin "${one%:*}"; \
    done; \
    groupadd --gid 810 records; \
    groupadd --gid 811 keepers; \
    mkdir /data /keys
COPY --from=build /opt/bildbrief /opt/bildbrief
EXPOSE 2762 11112 8080 8081
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD ["bildbrief", "health"]
# The supervisor is root with nothing but the power to hand directories to the users above and to become them (see compose.yaml).
CMD ["bildbrief", "serve"]
