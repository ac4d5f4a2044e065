FROM scratch AS build
FROM alpine
RUN --mount=from=0,target=/src ls /src
