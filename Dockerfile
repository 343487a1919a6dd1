# Apptainer.def has the same steps; tests/test_containers.py compares the two.
# The wheel is built in a stage of its own, so that the image holds no checkout.
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml setup.cfg README.md LICENSE ./
COPY mrrate_bids mrrate_bids
COPY templates templates
COPY workflows workflows
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.12-slim
LABEL org.opencontainers.image.title="mrrate-bids" \
      org.opencontainers.image.description="Move brain MRI between the MR-RATE release and BIDS, losing nothing" \
      org.opencontainers.image.version="0.2.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.authors="The mrrate-bids developers" \
      org.opencontainers.image.base.name="docker.io/library/python:3.12-slim"
COPY constraints.txt /install/constraints.txt
COPY --from=build /wheels /install/wheels
# torch first, and alone: other packages would bring a build of it that does not suit.
RUN pip install --no-cache-dir --constraint /install/constraints.txt torch
RUN pip install --no-cache-dir --constraint /install/constraints.txt \
    "$(echo /install/wheels/*.whl)[compute,brain,seg,viewer]"
RUN rm -r /install
# Clusters run containers under users of their own, who put caches and settings into HOME.
RUN useradd --create-home --uid 1000 mrrate && chmod 1777 /home/mrrate
# Datasets that are computed in it name it; give another tag with --build-arg TAG=….
ARG TAG=mrrate-bids:0.2.0
ENV HOME=/home/mrrate \
    MRRATE_BIDS_CONTAINER=docker:${TAG} \
    PYTHONUNBUFFERED=1 \
    PYTHONNOUSERSITE=1
USER mrrate
# Not a checkout: a local folder mrrate_bids/ would hide the installed package. And any user may
# write there: the work folder is made where the program stands.
WORKDIR /tmp
HEALTHCHECK NONE
ENTRYPOINT ["mrrate-bids-app"]
