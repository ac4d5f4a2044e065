FROM busybox AS base
CMD ["a"]
FROM base
ENTRYPOINT ["b"]
