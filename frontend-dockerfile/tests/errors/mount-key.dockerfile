FROM alpine
RUN --mount=type=cache,taregt=/x true
RUN --mount=type=bind,target=/x,consistency=cached true
RUN --mount=target true
RUN --mount=target=/x, true
