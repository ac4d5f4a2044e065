#! shm-size 1048576
#! ulimit nofile=1024:2048
#! ulimit core=0
#! cgroup-parent parent
#! add-host one=1.2.3.4
#! add-host two=::1
FROM busybox
RUN a
RUN --mount=type=tmpfs,target=/a --mount=target=/z true
