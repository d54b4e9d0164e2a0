/** Keeps the end in sight for those who are there, and leaves alone those who read above it. */
import { type RefObject, useCallback, useEffect, useRef, useState } from 'react';
import { isAtEnd, positionOf } from './follow';

export function useFollow(
  scroller: RefObject<HTMLElement | null>,
  content: RefObject<HTMLElement | null>,
) {
  const [follows, setFollows] = useState(true);
  const isFollowing = useRef(true);

  const toEnd = useCallback(() => {
    const element = scroller.current;
    if (element) element.scrollTop = element.scrollHeight;
  }, [scroller]);

  const jump = useCallback(() => {
    isFollowing.current = true;
    setFollows(true);
    toEnd();
  }, [toEnd]);

  useEffect(() => {
    const element = scroller.current;
    const inside = content.current;
    if (!element || !inside) return;
    let before = positionOf(element);
    const look = () => {
      const now = positionOf(element);
      // A place that is laid out for the first time may shift what is seen: nobody scrolled.
      if (now.topPx === before.topPx) return;
      isFollowing.current = isAtEnd(now, before);
      before = now;
      setFollows(isFollowing.current);
    };
    // Words came, or the window changed: both end here, before anything is painted.
    const sizes = new ResizeObserver(() => {
      if (isFollowing.current) toEnd();
    });
    sizes.observe(element);
    sizes.observe(inside);
    element.addEventListener('scroll', look, { passive: true });
    return () => {
      sizes.disconnect();
      element.removeEventListener('scroll', look);
    };
  }, [scroller, content, toEnd]);

  return { follows, jump };
}
