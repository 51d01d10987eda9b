# genset: operator, router and weights puller in one image, with the list of what is in it (/usr/share/sbom/genset.cdx.json).
#   docker build -t genset .        over the Python images that Docker pulls; testbed/images builds it without Docker, over others
# BUILDER is BASE with a C compiler and Python's headers: the router is compiled (docs/adr/0007). A build with RELEASE=VERSION ends
# unless both are named by their digests, and the source is of that version (docs/release.md).
ARG BASE=python:3.13-slim
ARG BUILDER=python:3.13

# Dependencies first, from the lock files alone: a change of the sources leaves this layer as it is.
FROM ${BUILDER} AS dependencies
ARG PIP_INDEX_URL=
ARG PIP_EXTRA_INDEX_URL=
ARG PIP_TRUSTED_HOST=
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY requirements-build.lock requirements-runtime.lock ./
RUN python3 -m venv --without-pip /opt/genset \
 && echo /opt/app > "$(echo /opt/genset/lib/python3.*/site-packages)/application.pth" \
 && python3 -m venv tools \
 && tools/bin/pip install --quiet --require-hashes --requirement requirements-build.lock \
 && tools/bin/pip --python /opt/genset/bin/python install --quiet --no-deps --require-hashes --requirement requirements-runtime.lock

FROM dependencies AS application
COPY LICENSE README.md pyproject.toml ./
COPY operator operator
COPY tools/compiled.py ./
RUN tools/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir wheels . \
 && tools/bin/pip --python /opt/genset/bin/python install --quiet --no-deps --no-index --target /opt/app wheels/*.whl \
 && tools/bin/python compiled.py /opt/app --packages-of /opt/genset/bin/python \
 && rm -r /opt/app/build

# What is in the image: its packages of Python with the hashes of the lock file, and those of its base.
FROM ${BASE} AS bill
ARG BASE
ARG BUILDER
ARG RELEASE=
COPY tools/sbom.py requirements-runtime.lock /build/
COPY --from=dependencies /opt/genset /opt/genset
COPY --from=application /opt/app /opt/app
RUN python3 /build/sbom.py --base "${BASE}" --builder "${BUILDER}" --release "${RELEASE}" \
    --lock /build/requirements-runtime.lock /opt/genset /opt/app > /build/genset.cdx.json

FROM ${BASE}
ENV PATH=/opt/app/bin:/opt/genset/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
ENTRYPOINT ["genset"]
COPY --from=dependencies /opt/genset /opt/genset
COPY --from=application /opt/app /opt/app
COPY --from=bill /build/genset.cdx.json /usr/share/sbom/genset.cdx.json
