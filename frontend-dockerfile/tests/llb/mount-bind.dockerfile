FROM busybox AS tools
FROM busybox
WORKDIR /w
RUN --mount=target=/a a
RUN --mount=type=bind,source=src/dir,target=rel b
RUN --mount=type=bind,from=tools,src=bin,dst=/t,rw --mount=from=tools,target=/ro,readonly c
RUN --mount=type=bind,target=/b,readwrite=true --mount=target=/a,source=x d
