FROM scratch AS build
FROM scratch
COPY --from=biuld /app /
