FROM scratch AS Build
FROM Build
