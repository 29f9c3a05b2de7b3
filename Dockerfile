# A worker, and all other commands of jobcell. docs/deploying.md says how to run it.
#
#   docker build -t jobcell .
#   docker run --rm --security-opt seccomp=deploy/seccomp.json --security-opt apparmor=unconfined jobcell doctor

FROM python:3.13-slim-bookworm AS wheel
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.13-slim-bookworm
# Tini reaps the children of an engine that was killed. Its version is that of the image.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends tini && rm -rf /var/lib/apt/lists/*
# A child cannot write bytecode, so everything is compiled here.
# hadolint ignore=DL3013
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    wheel="$(ls /wheels/jobcell-*.whl)" \
    && pip install --no-cache-dir --compile "${wheel}[cli,store]" \
    && python -m compileall -q /usr/local/lib/python3.13
# The repo of adaptors. An image with your own adaptors begins FROM this one and adds them here.
RUN jobcell repo init /srv/repo && jobcell repo add --repo /srv/repo common http rest \
    && useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin jobcell
ENV JOBCELL_REPO=/srv/repo PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /srv
STOPSIGNAL SIGTERM
ENTRYPOINT ["tini", "--", "jobcell"]
CMD ["worker", "--health", "0.0.0.0:8080", "--log-json", "--drain", "60"]
