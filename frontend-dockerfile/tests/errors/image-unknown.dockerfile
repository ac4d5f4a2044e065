FROM alpine AS build
COPY --from=ghcr.io/nobody/nothing:1 /a /b
