FROM busybox AS tools
RUN x
FROM busybox
RUN --mount=target=/z --mount=from=tools,target=/m --mount=from=tools,target=/a,source=/bin --mount=type=tmpfs,target=/b a
