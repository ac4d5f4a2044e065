FROM scratch AS base
ONBUILD RUUN make
ONBUILD COPY --form=x a b
FROM base
