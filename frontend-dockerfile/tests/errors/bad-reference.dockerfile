FROM alpine
COPY --from=Bad_Name! a b
