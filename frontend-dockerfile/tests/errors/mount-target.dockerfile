FROM alpine
WORKDIR /
RUN --mount=type=cache,id=x true
RUN --mount=target=/ true
RUN --mount=type=cache,target=/x/.. true
