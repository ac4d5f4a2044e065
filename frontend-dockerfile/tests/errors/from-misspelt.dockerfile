FORM alpine AS build
RUN make
FROM alpine
COPY --from=build /app /
