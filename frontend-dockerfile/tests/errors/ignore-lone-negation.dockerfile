#! ignore target
#! ignore !
FROM alpine
