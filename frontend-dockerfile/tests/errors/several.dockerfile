FROM alpine AS 1bad
RUNN make
COPY --form=build a b
COPY a
ENV x
ENV a=1 b
EXPOSE
LABEL =x
HEALTHCHECK --interval=1us CMD x
HEALTHCHECK NONE x
HEALTHCHECK --retries=-1 CMD x
SHELL /bin/sh
ONBUILD ONBUILD RUN x
ONBUILD FROM x
ONBUILD RUUN x
RUN --mount=type=cahce,target=/x --network=hots true
CMD ["a", 1]
VOLUME [""]
RUN
