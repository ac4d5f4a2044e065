# check=skip=JSONArgsRecommended
FROM scratch
# check=skip=MaintainerDeprecated
MAINTAINER team
CMD serve
