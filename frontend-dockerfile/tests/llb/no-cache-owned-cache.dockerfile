#! no-cache
FROM busybox
RUN --mount=type=cache,target=/c,uid=1 y
