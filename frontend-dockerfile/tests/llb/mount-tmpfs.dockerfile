FROM busybox
COPY a /a
RUN --mount=type=tmpfs,target=/t --mount=type=tmpfs,target=/u,size=64m a
