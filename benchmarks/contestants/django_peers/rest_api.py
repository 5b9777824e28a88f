"""Django REST framework: a serializer from the model, a view set, a router."""

from datetime import datetime

from django.db.models import QuerySet
from django.urls import include, path
from rest_framework import mixins, routers, serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from benchmarks.contestants.django_peers.models import Account


class AccountSerializer(serializers.ModelSerializer):
    class Meta:
        model = Account
        fields = (
            "id",
            "created",
            "updated",
            "email",
            "username",
            "dob",
            "country",
            "phone_number",
        )


class PageSerializer(serializers.Serializer):
    """The query of the list."""

    limit = serializers.IntegerField(min_value=1, max_value=200, default=50)
    before = serializers.DateTimeField(required=False)
    country = serializers.CharField(required=False)


class AccountViewSet(
    mixins.CreateModelMixin,
    mixins.RetrieveModelMixin,
    mixins.UpdateModelMixin,
    viewsets.GenericViewSet,
):
    queryset = Account.objects.all()
    serializer_class = AccountSerializer

    def list(self, request: Request) -> Response:
        query = PageSerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        page = self.page_of(**query.validated_data)
        return Response(self.get_serializer(page, many=True).data)

    def page_of(
        self, limit: int, before: datetime | None = None, country: str | None = None
    ) -> QuerySet[Account]:
        accounts = self.get_queryset()
        if country is not None:
            accounts = accounts.filter(country=country)
        if before is not None:
            accounts = accounts.filter(created__lt=before)
        return accounts[:limit]


router = routers.SimpleRouter(trailing_slash=False)
router.register("accounts", AccountViewSet)
urlpatterns = [path("", include(router.urls))]
