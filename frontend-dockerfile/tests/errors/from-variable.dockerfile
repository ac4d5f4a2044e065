FROM alpine AS a
COPY --from=$a /x /x
RUN --mount=from=$a,target=/x true
