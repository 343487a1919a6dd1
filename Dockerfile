# The wheel is built in a stage of its own, so that the image holds no checkout.
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml setup.cfg README.md LICENSE ./
COPY mrrate_bids mrrate_bids
COPY templates templates
COPY workflows workflows
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.12-slim
COPY constraints.txt /tmp/constraints.txt
COPY --from=build /wheels /tmp/wheels
RUN pip install --no-cache-dir --constraint /tmp/constraints.txt torch \
    && pip install --no-cache-dir --constraint /tmp/constraints.txt \
       "$(echo /tmp/wheels/*.whl)[compute,brain,seg]" \
    && rm -r /tmp/wheels /tmp/constraints.txt \
    && useradd --create-home --uid 1000 mrrate
# Caches go where any user may write: clusters run containers under a user of their own.
ENV MPLCONFIGDIR=/tmp/matplotlib \
    DENO_DIR=/tmp/deno \
    PYTHONUNBUFFERED=1
USER mrrate
# Not a checkout: a local folder mrrate_bids/ would hide the installed package.
WORKDIR /data
ENTRYPOINT ["mrrate-bids-app"]
