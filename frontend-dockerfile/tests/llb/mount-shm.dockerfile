#! shm-size 4096
FROM busybox
RUN --mount=target=/dev/zzz --mount=type=tmpfs,target=/dev/aaa true
