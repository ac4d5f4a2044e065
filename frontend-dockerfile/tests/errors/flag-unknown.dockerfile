FROM alpine
COPY --chwon=1 a b
ADD --from=x a b
ENV --x a=1
CMD --verbose
RUN --volume=/x true
