# genset: operator, router and weights puller in one image.
#   docker build -t genset .        over the Python images that Docker pulls; testbed/images builds it without Docker, over others
# BUILDER is BASE with a C compiler and Python's headers: the router is compiled (docs/adr/0007).
ARG BASE=python:3.13-slim
ARG BUILDER=python:3.13

# Dependencies first, from the lock file alone: a change of the sources leaves this layer as it is.
FROM ${BUILDER} AS dependencies
ARG PIP_INDEX_URL=
ARG PIP_EXTRA_INDEX_URL=
ARG PIP_TRUSTED_HOST=
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY pyproject.toml requirements-runtime.lock ./
RUN python3 -m venv --without-pip /opt/genset \
 && echo /opt/app > "$(echo /opt/genset/lib/python3.*/site-packages)/application.pth" \
 && python3 -m venv tools \
 && tools/bin/python -c 'import tomllib; it = tomllib.load(open("pyproject.toml", "rb")); print(*it["build-system"]["requires"], *it["dependency-groups"]["compile"], sep="\n")' > tools.txt \
 && tools/bin/pip install --quiet --requirement tools.txt \
 && tools/bin/pip --python /opt/genset/bin/python install --quiet --no-deps --requirement requirements-runtime.lock

FROM dependencies AS application
COPY LICENSE README.md ./
COPY operator operator
COPY tools/compiled.py ./
RUN tools/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir wheels . \
 && tools/bin/pip --python /opt/genset/bin/python install --quiet --no-deps --no-index --target /opt/app wheels/*.whl \
 && tools/bin/python compiled.py /opt/app --packages-of /opt/genset/bin/python \
 && rm -r /opt/app/build

FROM ${BASE}
ENV PATH=/opt/app/bin:/opt/genset/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
ENTRYPOINT ["genset"]
COPY --from=dependencies /opt/genset /opt/genset
COPY --from=application /opt/app /opt/app
