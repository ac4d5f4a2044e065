ARG image
FROM alpine
RUN --mount=from=$image,target=/x true
