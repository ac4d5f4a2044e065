FROM onbuild AS first
ONBUILD RUN --mount=from=third,target=/m echo nested
ENTRYPOINT ["x"]

FROM alpine AS third
RUN echo third

FROM first
CMD []
