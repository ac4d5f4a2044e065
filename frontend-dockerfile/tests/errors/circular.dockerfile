FROM alpine AS a
COPY --from=b /x /x
FROM alpine AS b
COPY --from=a /x /x
COPY --from=b /x /x
COPY --from=9 /x /x
