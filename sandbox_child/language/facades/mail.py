"""Facades of the email package, whose policies have registries that any code can change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sandbox_child.language.facades import Facades


def make_email_policy(facades: Facades) -> dict[str, Any]:  # noqa: ARG001 - every room has one signature
    """Return the named policies, each with its own registries."""
    import email.policy
    from email.contentmanager import ContentManager, raw_data_manager
    from email.headerregistry import HeaderRegistry

    shared: Any = raw_data_manager

    def own(policy: email.policy.EmailPolicy[Any]) -> email.policy.EmailPolicy[Any]:
        manager: Any = ContentManager()
        manager.get_handlers = dict(shared.get_handlers)
        manager.set_handlers = dict(shared.set_handlers)
        return policy.clone(content_manager=manager, header_factory=HeaderRegistry())

    policies: dict[str, Any] = {
        name: own(getattr(email.policy, name))
        for name in ("HTTP", "SMTP", "SMTPUTF8", "default", "strict")
    }
    return {**policies, "compat32": email.policy.compat32}


def make_email_message(facades: Facades) -> dict[str, Any]:
    """Return an EmailMessage that starts from the policy of this scope."""
    import email.message

    policies = facades.get("email.policy")
    assert policies is not None
    default = policies.default

    class EmailMessage(email.message.EmailMessage):
        def __init__(self, policy: Any = None) -> None:
            super().__init__(default if policy is None else policy)

    EmailMessage.__module__ = "email.message"
    EmailMessage.__qualname__ = "EmailMessage"
    return {"EmailMessage": EmailMessage}
