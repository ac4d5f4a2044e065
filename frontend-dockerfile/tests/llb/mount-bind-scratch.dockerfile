FROM busybox
RUN --mount=from=scratch,target=/s a
