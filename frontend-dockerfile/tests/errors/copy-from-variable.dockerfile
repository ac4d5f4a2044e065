ARG stage=build
FROM alpine AS build
FROM alpine
COPY --from=$stage /a /b
COPY --from=${stage} /a /b
