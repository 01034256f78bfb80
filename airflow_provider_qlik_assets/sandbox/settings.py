"""What the sandbox's tenant does where Qlik's documents leave it open, and its limits."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

ConflictStatus = Literal[400, 409, 412]


class SandboxSettings(BaseModel):
    """Switches of a sandbox; they may be changed while it runs and apply from the next request on.

    The defaults are the stricter reading of each open point, so that a client which passes with them asks
    for nothing that is not documented. An unknown name or a value of the wrong kind is refused when set.
    """

    model_config = ConfigDict(validate_assignment=True, extra="forbid")

    tier1_limit: int = Field(5000, ge=1, description="Reads per user and window.")
    tier2_limit: int = Field(500, ge=1, description="Writes and token requests per user and window.")
    window_seconds: float = Field(300.0, gt=0, description="Length of the window before time_factor.")
    window: Literal["rolling", "fixed"] = Field(
        "rolling", description="Whether the limits count the last seconds, or start anew with each window."
    )
    tenant_users: int | None = Field(
        None, ge=1, description="Also limit the whole tenant to user limit x this x 0.5; None: no such limit."
    )
    refused_requests_count: bool = Field(False, description="Whether a 429 uses quota itself.")
    time_factor: float = Field(
        1.0,
        gt=0,
        description="Divides the window and the life of tokens: 60 makes five minutes five seconds.",
    )
    token_lifetime_seconds: float = Field(21600.0, gt=0, description="Life of a token before time_factor.")
    token_expiry: Literal["expires_in", "expires_at", "both", "neither"] = Field(
        "both", description="What the token reply says about the end of the token."
    )

    duplicate_technical_name: Literal["refused", "allowed"] = Field(
        "refused",
        description="A second asset with the same (dataStoreInfo.id, technicalName): 409 or created.",
    )
    answer_to_create: Literal["whole", "id", "required"] = Field(
        "whole",
        description="A new data asset as its creation is answered: whole, only the id and the fields that "
        "the schema requires, or only those.",
    )
    unknown_request_fields: Literal["refused", "ignored"] = Field(
        "refused", description="A field in a request body that no document names: 400, or left out."
    )
    patch_answers_204: bool = Field(False, description="PATCH answers 204 without body, not 200 with it.")
    failed_test_status: ConflictStatus = Field(409, description="Status of a PATCH whose test fails.")
    stale_version_status: ConflictStatus = Field(409, description="Status of a PUT with another version.")
    unchanged_write_raises_version: bool = Field(
        True, description="Whether a PUT or PATCH that changes nothing is a new version."
    )
    replace_unset: Literal["refused", "allowed"] = Field(
        "refused", description="JSON Patch replace on a property that is not set."
    )
    unknown_delete_ids: Literal["refused", "ignored"] = Field(
        "refused", description="Deleting ids that do not exist: 404 and nothing is deleted, or ignored."
    )
    max_delete_ids: int | None = Field(100, ge=1, description="Most ids in one DELETE; None: any number.")

    limit_over_maximum: Literal["refused", "clamped"] = Field(
        "refused", description="A page limit above 100: 400, or served as 100."
    )
    unknown_store: Literal["refused", "empty"] = Field(
        "refused", description="Listing the assets of an unknown store: 404 or an empty page."
    )
    other_stores_listed: bool = Field(
        False, description="Listing the assets of a store answers with those of all stores."
    )
    unknown_projection: Literal["refused", "ignored"] = Field(
        "refused", description="A projection that is no field: 400, or left out."
    )
    id_in_projections: Literal["always", "when_asked"] = Field(
        "when_asked", description="Whether a reply holds the id even if the projections do not name it."
    )
    links: Literal["absolute", "relative"] = Field(
        "absolute", description="Whether the links of a page begin with the address of the tenant."
    )
    missing_link: Literal["absent", "empty", "null"] = Field(
        "absent", description="How a page says that there is no next or previous page."
    )
    sort_refused: bool = Field(False, description="400 for any sort.")
    sort_ignored: bool = Field(False, description="Any sort that makes sense leaves the order as it is.")
    sort_by_two: bool = Field(True, description="Whether a sort may name several fields, or gets a 400.")
    unstable_ties: bool = Field(
        False, description="What a sort leaves open comes in another order with each request."
    )
    all_stores_refused: bool = Field(False, description="403 for the store list '*'.")

    first_version: int = Field(
        0, ge=0, description="Version of a new document; Qlik Cloud has been seen to begin with 0."
    )
    unset_fields: Literal["absent", "null", "empty text"] = Field(
        "absent",
        description="How a reply shows a field that is not set: not at all, as null, or, if it is a text, as "
        "empty text; other fields are then absent.",
    )
    meta_in_errors: Literal["never", "sometimes", "always"] = Field(
        "sometimes",
        description="Whether the entries of an error body carry `meta`; sometimes: every second body.",
    )
    undocumented_field: bool = Field(True, description="Replies carry a field that no document names.")

    @property
    def window_length(self) -> float:
        """Seconds of real time that a rate limit's window lasts."""
        return self.window_seconds / self.time_factor

    @property
    def token_lifetime(self) -> float:
        """Seconds of real time that a token lives."""
        return self.token_lifetime_seconds / self.time_factor

    def limit(self, tier: int) -> int:
        """Requests that one user may send in a window.

        :param tier: 1 (reads) or 2 (writes).
        """
        return self.tier1_limit if tier == 1 else self.tier2_limit

    def take_over(self, other: "SandboxSettings") -> None:
        """Set every switch to the other's value, keeping this object's identity."""
        for name in type(self).model_fields:
            setattr(self, name, getattr(other, name))
