FROM busybox AS build
FROM busybox
COPY --from=9 /app /
RUN --mount=type=cahce,target=/cache make
EXPOSE 80/http
ENV PATH=${HOME
