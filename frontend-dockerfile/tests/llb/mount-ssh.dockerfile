FROM busybox
RUN --mount=type=ssh a
RUN --mount=type=ssh,id=key,required --mount=type=ssh b
RUN --mount=type=ssh,target=/sock,uid=1,gid=2 c
RUN --mount=type=ssh,mode=0600 d
ENV SSH_AUTH_SOCK=/mine
RUN --mount=type=ssh e
