FROM alpine
RUN --mount='target="/x y"' true
RUN --mount='"target=/x"y' true
RUN --mount= true
