ARG BASE=alpine
FROM $BASE AS build
RUN --mount=type=cahce,target=/x make
COPY --chwon=1 a b
EXPOSE 80/http
ENV a=${b
FROM scratch
COPY --from=9 /a /b
HEALTHCHECK --interval=1 CMD x
STOPSIGNAL SIGTREM
COPY --from=build /x /y
