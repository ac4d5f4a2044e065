FROM alpine
CMD ["sleep", 10]
COPY ["a", null, "b"]
HEALTHCHECK CMD ["probe", true]
