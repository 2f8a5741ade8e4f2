"""Plain HTML elements for the page: semantic tags, our own classes, and updates only where something changed."""

from __future__ import annotations

from typing import Any

from nicegui.element import Element
from nicegui.elements.mixins.text_element import TextElement


class Node(TextElement):
    """One HTML element; keyword arguments are attributes (``aria_label`` is ``aria-label``, ``for_`` is ``for``).

    Used as a context manager, what is made inside becomes its children.
    """

    def __init__(self, tag: str, classes: str = "", text: str = "", **attributes: Any) -> None:
        super().__init__(tag=tag, text=text)
        if classes:
            self.classes(classes)
        for name, value in attributes.items():
            self._props[_attribute(name)] = value

    def say(self, text: str) -> None:
        """Show this text instead."""
        if text != self.text:
            self.set_text(text)

    def put(self, **attributes: Any) -> None:
        """Set attributes; False and None remove."""
        for name, value in attributes.items():
            put(self, _attribute(name), value)

    def flag(self, name: str, on: bool) -> None:
        """Give it a class, or take that away."""
        if (name in self._classes) != on:
            self.classes(add=name) if on else self.classes(remove=name)

    def grow(self, share: float) -> None:
        """As the filled part of a bar: this share of its width, 0 to 1."""
        self._set(transform=f"scaleX({_share(share):.4f})")

    def rise(self, share: float) -> None:
        """The same of its height."""
        self._set(transform=f"scaleY({_share(share):.4f})")

    def place(self, **shares: float) -> None:
        """Where it is in its parent: shares of the parent's width, by property."""
        self._set(**{name: f"{_share(share):.2%}" for name, share in shares.items()})

    def _set(self, **style: str) -> None:
        if any(self._style.get(name) != value for name, value in style.items()):
            for name, value in style.items():
                self._style[name] = value
            self.update()


def put(element: Element, name: str, value: Any) -> None:
    """Set one attribute if that changes it."""
    if value is False or value is None:
        if name in element.props:
            del element.props[name]
            element.update()
    elif element.props.get(name) != value:
        element.props[name] = value
        element.update()


def _share(value: float) -> float:
    return min(max(value, 0.0), 1.0)


def _attribute(name: str) -> str:
    return name.rstrip("_").replace("_", "-")
