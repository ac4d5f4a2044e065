FROM busybox AS base
ONBUILD RUN --mount=type=cache,target=/c --mount=from=tools,target=/t x
FROM llb-full:1 AS tools
RUN y
FROM base
USER late
WORKDIR /home/late
