FROM busybox
RUN --mount=type=ssh --mount=type=secret,id=z --mount=type=secret,id=a --mount=type=cache,target=/c --mount=target=/b --mount=type=tmpfs,target=/a x
