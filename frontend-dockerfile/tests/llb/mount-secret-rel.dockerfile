FROM busybox
WORKDIR /w
RUN --mount=type=secret,id=one,target=rel a
